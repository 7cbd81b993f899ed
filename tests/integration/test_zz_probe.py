from tests.integration.test_bad_input_verdicts import *
from tests.integration.test_bad_input_verdicts import check
from tests.integration.conftest import driftline
def test_probe(check, capsys):
    R=np.random.default_rng
    out=[]
    def go(name,a,b):
        try:
            f=check(a,b)
        except BaseException as e:
            out.append((name,repr(e)[:600])); return
        out.append((name,f))
    c=lambda v,n=ROWS:[v]*n
    go("constant same",{**usual(),"n":c(5),"t":c("a"),"f":c(0.5)},{**usual(seed=1),"n":c(5),"t":c("a"),"f":c(.5)})
    go("constant only",{"n":c(5)},{"n":c(5)})
    go("constant changed",{**usual(),"n":c(5),"t":c("a"),"f":c(.5)},{**usual(seed=1),"n":c(6),"t":c("b"),"f":c(.25)})
    na=lambda t:pa.array([None]*ROWS,t)
    go("missing both",{**usual(),"n":na(pa.float64()),"t":na(pa.string())},{**usual(seed=1),"n":na(pa.float64()),"t":na(pa.string())})
    go("missing both only",{"n":na(pa.float64())},{"n":na(pa.float64())})
    go("missing now",{**usual(),"n":numbers(1),"t":c("a")},{**usual(seed=1),"n":na(pa.float64()),"t":na(pa.string())})
    go("missing before",{**usual(),"n":na(pa.float64()),"t":na(pa.string())},{**usual(seed=1),"n":numbers(1),"t":c("a")})
    go("null type",{**usual(),"n":pa.nulls(ROWS)},{**usual(seed=1),"n":pa.nulls(ROWS)})
    go("one row",{**usual(),"t":c("a")},{**usual(1,seed=1),"t":c("a",1)})
    go("one row odd",{**usual(),"t":c("a")},{"usual":[1e9],"t":["zzz"]})
    go("one ref row",{**usual(1),"t":c("a",1)},{**usual(),"t":c("a")})
    go("ids",{**usual(),"id":[f"u{i}" for i in range(ROWS)],"num":np.arange(ROWS)},{**usual(seed=1),"id":[f"u{i}" for i in range(ROWS,2*ROWS)],"num":R(3).integers(0,ROWS,ROWS)})
    go("num ids on",{**usual(),"num":np.arange(ROWS)},{**usual(seed=1),"num":np.arange(ROWS)+ROWS})
    big=lambda s:np.where(R(s).random(ROWS)<.5,1e308,-1e308)
    inf=lambda s:np.where(R(s).random(ROWS)<.1,np.inf,numbers(s))
    go("huge",{**usual(),"b":big(1),"i":inf(2)},{**usual(seed=1),"b":big(3),"i":inf(4)})
    go("huge now",{**usual(),"b":numbers(1),"i":numbers(2)},{**usual(seed=1),"b":big(3),"i":inf(4)})
    go("all inf now",{**usual(),"i":numbers(2)},{**usual(seed=1),"i":np.full(ROWS,-np.inf)})
    mixed=lambda s:np.where(R(s).random(ROWS)<.1,"n/a ?",R(s+9).integers(0,9,ROWS).astype(str))
    go("mixed both",{**usual(),"m":mixed(1)},{**usual(seed=1),"m":mixed(2)})
    go("mixed now",{**usual(),"m":R(5).integers(0,9,ROWS)},{**usual(seed=1),"m":mixed(2)})
    go("numbers now",{**usual(),"m":mixed(1)},{**usual(seed=1),"m":R(5).integers(0,9,ROWS)})
    days=lambda s,m:[f"2026-{m:02d}-{d:02d}" for d in R(s).integers(1,28,ROWS)]
    go("dates same",{**usual(),"d":days(1,1)},{**usual(seed=1),"d":days(2,1)})
    go("dates later",{**usual(),"d":days(1,1)},{**usual(seed=1),"d":days(2,3)})
    st=lambda s,m:[f"2026-{m:02d}-{d:02d}T{h:02d}:{mi:02d}:00Z" for d,h,mi in zip(R(s).integers(1,28,ROWS),R(s+1).integers(0,24,ROWS),R(s+2).integers(0,60,ROWS))]
    go("stamps later",{**usual(),"d":st(1,1)},{**usual(seed=1),"d":st(2,3)})
    go("stamps same",{**usual(),"d":st(1,1)},{**usual(seed=1),"d":st(2,1)})
    many=lambda s:np.char.add("k",R(s).integers(0,15000,20000).astype(str))
    go("many same",{**usual(20000),"k":many(1)},{**usual(20000,1),"k":many(2)})
    go("many moved",{**usual(20000),"k":many(1)},{**usual(20000,1),"k":np.char.add("q",R(2).integers(0,15000,20000).astype(str))})
    go("many half",{**usual(20000),"k":many(1)},{**usual(20000,1),"k":np.where(R(7).random(20000)<.5,"k7",many(2))})
    go("serving only",usual(),{**usual(seed=1),"new":numbers(4)})
    go("training only",{**usual(),"old":numbers(4)},usual(seed=1))
    go("both",{**usual(),"old":numbers(4)},{**usual(seed=1),"new":numbers(4)})
    go("bool",{**usual(),"b":R(1).random(ROWS)<.5},{**usual(seed=1),"b":R(2).random(ROWS)<.5})
    with capsys.disabled():
        for n,f in out:
            print("=====",n, end=" ")
            if isinstance(f,str): print(f)
            else: show(f)

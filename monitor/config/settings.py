"""What `driftline.yaml` may say: the settings, strictly typed, with their defaults and limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from monitor.config.alerting import AlertSettings, RouteSettings, default_alerts, misnamed
from monitor.config.api import Address, ApiSettings
from monitor.config.detection import DetectionSettings
from monitor.config.durations import Duration
from monitor.config.evaluation import EvaluationSettings
from monitor.config.gpus import GpuSettings
from monitor.config.located import refuse
from monitor.config.policies import PolicySettings, misnamed_policies
from monitor.config.receivers import ReceiverSettings
from monitor.config.retraining import RetrainSettings
from monitor.config.strict import Strict


class SpanSettings(Strict):
    """Where span files lie and how long they are kept."""

    uri: str = Field("file:state/spans", description="Folder of the span files: a path or any fsspec URI.")
    keep: Duration = Field(timedelta(days=90), description="Age after which spans are deleted.")


class KafkaSettings(Strict):
    """How to reach the brokers; names are kafka-python's."""

    driver: Literal["kafka-python", "librdkafka"] = Field(
        "kafka-python",
        description="Library that reads the topics; librdkafka needs `pip install 'driftline[librdkafka]'` and is faster.",
    )
    bootstrap_servers: list[str] = Field(min_length=1, description="Brokers to start from, as host:port.")
    group_id: str = Field("driftline", description="Consumer group that the collectors share.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Whether connections are encrypted and who signs in."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="How to sign in, with a SASL protocol."
    )
    sasl_plain_username: str | None = Field(None, description="User to sign in as.")
    sasl_plain_password: SecretStr | None = Field(
        None, description="Password; write ${NAME} and keep it out of the file."
    )
    ssl_cafile: str | None = Field(
        None, description="PEM file with the authorities that sign the brokers' certificates."
    )
    ssl_certfile: str | None = Field(None, description="PEM file with the client's certificate.")
    ssl_keyfile: str | None = Field(None, description="PEM file with the client's private key.")

    @model_validator(mode="after")
    def _security(self) -> KafkaSettings:
        sasl = (self.sasl_mechanism, self.sasl_plain_username, self.sasl_plain_password)
        files = (self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile)
        if self.security_protocol.startswith("SASL"):
            if any(value is None for value in sasl):
                raise ValueError(
                    f"`security_protocol: {self.security_protocol}` needs `sasl_mechanism`, `sasl_plain_username` and "
                    "`sasl_plain_password`"
                )
        elif any(value is not None for value in sasl):
            raise ValueError(
                "signing in needs `security_protocol: SASL_SSL` (or SASL_PLAINTEXT, which sends all in the clear)"
            )
        if not self.security_protocol.endswith("SSL") and any(value is not None for value in files):
            raise ValueError("certificates need `security_protocol: SSL` or SASL_SSL")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("`ssl_keyfile` goes with `ssl_certfile`")
        return self


class FileColumns(Strict):
    """Which columns of table files (Parquet, CSV, TFRecord) are not features."""

    version: str = Field("", description="Version to record for every row.")
    timestamp: str = Field(description="Column with the event time.")
    id: str = Field(description="Column with the request id.")
    prediction: str | None = Field(None, description="Column with the model's output.")
    label: str | None = Field(None, description="Column with the label.")
    weight: str | None = Field(None, description="Column with the weight of a row.")
    ignore: list[str] = Field(default_factory=list, description="Columns to leave out.")


class StreamSettings(Strict):
    """Where one kind of records comes from: a Kafka topic, or files."""

    topic: str | None = Field(None, description="Kafka topic.")
    files: str | None = Field(None, description="File, folder or glob, local or fsspec URI, instead of a topic.")
    format: Literal["json", "prediction_log", "tf_example", "rest", "cloudevents", "table"] = Field(
        "json", description="What a message or a line is (docs/wire-formats.md); table: columns of files."
    )
    columns: FileColumns | None = Field(None, description="With `format: table`.")
    output: str | None = Field(
        None,
        description="Output that is the prediction, where an answer has several; in tf_example, the feature that is.",
    )
    output_class: int | Literal["argmax"] | None = Field(
        None,
        description="Class whose score is the prediction, by number from 0; `argmax`: the class with the highest score.",
    )
    id_feature: str | None = Field(None, description="Feature with the request id, for requests that bring no other.")
    time_feature: str | None = Field(None, description="Feature with the event time, where no header tells it.")
    join_timeout: Duration = Field(
        timedelta(seconds=30),
        description="With cloudevents: how long a request waits for its response, or the other way.",
    )
    max_unjoined: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="With cloudevents: how many requests and responses may wait for the other.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> StreamSettings:
        if (self.topic is None) == (self.files is None):
            raise ValueError("give either `topic` or `files`")
        if (self.format == "table") != (self.columns is not None):
            raise ValueError("`format: table` goes with `columns`")
        if self.format == "table" and self.topic:
            raise ValueError("a topic holds messages; `format: table` goes with `files`")
        if isinstance(self.output_class, int) and self.output_class < 0:
            raise ValueError("`output_class` counts from 0")
        if self.format in ("json", "table"):
            for name in ("output", "output_class", "id_feature", "time_feature"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"`{name}` does not go with `format: {self.format}`, whose records say that themselves"
                    )
        return self


class LabelSettings(StreamSettings):
    """Where labels come from, and how long they may take."""

    horizon: Duration = Field(timedelta(hours=24), description="Age at which a missing label is given up.")

    @model_validator(mode="after")
    def _format_of_labels(self) -> LabelSettings:
        if self.format not in ("json", "table"):
            raise ValueError("labels are `format: json` or `table`")
        return self


class FloorSettings(Strict):
    """A number of rows of every rare stratum that is kept whatever the rate: of each error status, slow answer, or value."""

    by: list[str] = Field(
        min_length=1,
        max_length=3,
        description="What names a stratum: `version`, `status` (errors only), `latency` (slow answers only), or features.",
    )
    rows: int = Field(ge=1, le=100_000, description="Rows of each stratum to keep in a window, if there are so many.")
    slow_over: Duration = Field(timedelta(seconds=1), description="With `latency`: an answer that took longer is slow.")

    @model_validator(mode="after")
    def _columns(self) -> FloorSettings:
        if len(set(self.by)) < len(self.by) or "" in self.by:
            raise ValueError("`by` names different columns")
        return self


class SamplingSettings(Strict):
    """How much of the traffic is kept."""

    rate: float = Field(1.0, gt=0, le=1, description="Share of request ids to keep, for traffic and labels alike.")
    max_rows_per_window: int = Field(
        100_000, ge=100, description="Rows of a window that are judged; theta falls above."
    )
    floors: list[FloorSettings] = Field(
        default_factory=list,
        max_length=10,
        description="Strata that sampling must not lose; a row belongs to the first floor that has a stratum for it.",
    )

    @model_validator(mode="after")
    def _different_floors(self) -> SamplingSettings:
        named = [frozenset(floor.by) for floor in self.floors]
        if len(set(named)) < len(named):
            raise ValueError("two `floors` are `by` the same columns")
        return self


class PrivacySettings(Strict):
    """What a collector does to features before anything of them is stored; a name stands for all nested in it too."""

    drop: list[str] = Field(default_factory=list, description="Features that are never stored.")
    hash: list[str] = Field(default_factory=list, description="Features of which a keyed hash is stored.")
    truncate: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="Features of which only so many first characters are stored."
    )
    bucket: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default_factory=dict,
        description="Numbers of which only the lower bound of their bucket of this width is stored.",
    )
    hash_ids: bool = Field(False, description="Store a keyed hash instead of each request id, of traffic and labels.")
    key: SecretStr | None = Field(
        None, description="Key of the hashes, at least 16 characters; write ${NAME} and keep it out of the file."
    )

    @model_validator(mode="after")
    def _one_treatment_and_a_key(self) -> PrivacySettings:
        named = [*self.drop, *self.hash, *self.truncate, *self.bucket]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is named twice; each feature gets one treatment")
        if self.hash or self.hash_ids:
            if self.key is None:
                raise ValueError("hashing needs a `key`; write ${NAME} and set that variable")
            if len(self.key.get_secret_value()) < 16:
                raise ValueError("`key` must have at least 16 characters")
        return self


class WindowSettings(Strict):
    """Event-time windows."""

    length: Duration = Field(
        timedelta(hours=1), description="Length of a window; windows are aligned to the epoch in UTC."
    )
    allowed_lateness: Duration = Field(
        timedelta(minutes=10), description="How far behind the newest event input may be."
    )
    idle_timeout: Duration = Field(
        timedelta(minutes=1), description="Quiet time after which a partition at its end is idle."
    )
    restate_for: Duration = Field(
        timedelta(hours=24), description="How long after closing late rows make a new revision."
    )
    max_future: Duration = Field(
        timedelta(hours=1), description="How far ahead of the wall clock an event time may be."
    )
    time: Literal["live", "replay"] = Field("live", description="Whether the wall clock may move idle input on.")

    @model_validator(mode="after")
    def _length(self) -> WindowSettings:
        if self.length < timedelta(seconds=1):
            raise ValueError("`length` must be at least 1s")
        return self


Slicing = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=5)]
"""Columns whose values, crossed, make the slices."""


class ModelSettings(Strict):
    """One monitored model."""

    traffic: StreamSettings
    labels: LabelSettings | None = None
    sampling: SamplingSettings = SamplingSettings()
    privacy: PrivacySettings = PrivacySettings()
    windows: WindowSettings = WindowSettings()
    slices: list[Slicing] = Field(
        default_factory=list,
        max_length=20,
        description="Columns by whose values windows are judged slice by slice too; several in one list are crossed. "
        "They are laid down with a baseline: after a change, make a new one.",
    )
    detection: DetectionSettings = DetectionSettings()
    evaluation: EvaluationSettings | None = None
    retrain: RetrainSettings | None = None
    serving_gpus: str | None = Field(None, description="Name from `gpus`: those that the model is served on.")

    @model_validator(mode="after")
    def _different_slices(self) -> ModelSettings:
        named = [frozenset(columns) for columns in self.slices]
        if len(set(named)) < len(named) or any(len(set(columns)) < len(columns) for columns in self.slices):
            raise ValueError("`slices` names a column, or a list of columns, twice")
        return self


class DeadLetterSettings(Strict):
    """What becomes of messages that can never be read, besides a row in the ledger with their place, reason and digest."""

    topic: str | None = Field(
        None, description="Topic that gets a message for each of them, also of those from before it was set."
    )
    keep_bytes: bool = Field(
        False,
        description="Keep and forward their bytes and headers too, up to 1 MiB each; these bypass `privacy`.",
    )


class CollectorSettings(Strict):
    """How collectors work."""

    cut_interval: Duration = Field(timedelta(seconds=5), description="Time between two commits.")
    max_buffered_rows: int = Field(200_000, ge=1_000, description="Rows held in memory before a commit is forced.")
    max_dead_letter_ratio: float = Field(
        0.5, gt=0, le=1, description="Share of unreadable messages over which to stop, among the last 100 or more."
    )
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    listen: Address = Field("127.0.0.1:8081", description="Address of /metrics of `driftline collect`.")


class MonitorSettings(Strict):
    """How the monitor works."""

    tick: Duration = Field(timedelta(seconds=1), description="Time between two looks for windows to close.")
    lease: Duration = Field(timedelta(minutes=2), description="How long a monitor owns a model without renewing.")
    listen: Address = Field("127.0.0.1:8082", description="Address of /metrics of `driftline monitor`.")


class Settings(Strict):
    """The whole of `driftline.yaml`."""

    team: str = Field("default", description="Owner written into every row of the store.")
    store: str = Field("sqlite:///state/driftline.db", description="SQLAlchemy URL of the ledger.")
    spans: SpanSettings = SpanSettings()
    kafka: KafkaSettings | None = None
    models: dict[str, ModelSettings] = Field(min_length=1, description="The monitored models by name.")
    collector: CollectorSettings = CollectorSettings()
    monitor: MonitorSettings = MonitorSettings()
    alerts: list[AlertSettings] = Field(
        default_factory=default_alerts, description="When something is an alert; two rules of their own without it."
    )
    receivers: dict[str, ReceiverSettings] = Field(default_factory=dict, description="Who can be told, by name.")
    routes: list[RouteSettings] = Field(
        default_factory=list, description="Who is told of which alerts; without it every receiver of every alert."
    )
    policies: list[PolicySettings] = Field(default_factory=list, description="What is done about alerts.")
    gpus: dict[str, GpuSettings] = Field(default_factory=dict, description="GPUs that can be asked about, by name.")
    candidates: str = Field(
        "file:candidates", description="Folder under which trainers put models: nothing else is ever loaded."
    )
    api: ApiSettings = ApiSettings()

    @model_validator(mode="after")
    def _alerts_name_what_is_there(self) -> Settings:
        refuse(misnamed(self.alerts, self.routes, self.models, self.receivers))
        refuse(misnamed_policies(self.policies, self.receivers))
        return self

    @model_validator(mode="after")
    def _spans_until_labels_are_in(self) -> Settings:
        for name, model in self.models.items():
            needed = (
                model.windows.length
                + model.windows.restate_for
                + (model.labels.horizon if model.labels else timedelta(0))
            )
            if model.evaluation is not None and self.spans.keep < needed:
                raise ValueError(
                    f"model {name!r} is evaluated until its labels are in and restated, which takes its spans for {needed}; "
                    "raise `spans.keep`, or lower `labels.horizon` or `windows.restate_for`"
                )
        return self

    @model_validator(mode="after")
    def _kafka_where_topics_are(self) -> Settings:
        for name, model in self.models.items():
            streams = [model.traffic, *([model.labels] if model.labels else [])]
            if self.kafka is None and any(stream.topic for stream in streams):
                raise ValueError(f"model {name!r} reads a topic, but there is no `kafka` section")
            if self.kafka is None and model.retrain is not None and model.retrain.trainer.type == "kafka":
                raise ValueError(f"the trainer of model {name!r} reads a topic, but there is no `kafka` section")
        return self

    @model_validator(mode="after")
    def _dead_letters_apart(self) -> Settings:
        topic = self.collector.dead_letters.topic
        if topic is None:
            return self
        if self.kafka is None:
            raise ValueError("`collector.dead_letters.topic` needs a `kafka` section")
        for name, model in self.models.items():
            if topic in {model.traffic.topic, model.labels.topic if model.labels else None}:
                raise ValueError(
                    f"`collector.dead_letters.topic` is a topic that model {name!r} reads; use one of its own"
                )
        return self

    @model_validator(mode="after")
    def _gpus_that_are_described(self) -> Settings:
        for name, model in self.models.items():
            headroom = None if model.retrain is None else model.retrain.headroom
            named = {"serving_gpus": model.serving_gpus, "retrain.headroom.gpus": headroom.gpus if headroom else None}
            for key, gpus in named.items():
                if gpus is not None and gpus not in self.gpus:
                    known = ", ".join(sorted(self.gpus)) or "none"
                    raise ValueError(f"`{key}` of model {name!r} is {gpus!r}; `gpus` has: {known}")
        return self

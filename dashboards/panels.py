"""What the Grafana dashboard shows: rows of panels with their queries; changes with what there is to see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its queries are pairs of PromQL and legend; `unit` is Grafana's name of it; widths of a row add up to 24.

    Its axis starts at zero unless a value may be below.
    """

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    red_above: float | None = None
    from_zero: bool = True


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Is anything drifting?",
        (
            Panel(
                "Windows flagged",
                "Windows whose newest findings are flagged, by model. The findings name the features.",
                (('max by (model) (driftline_windows_judged{verdict="flagged", model=~"$model"})', "{{model}}"),),
                kind="stat",
                width=8,
                red_above=1,
            ),
            Panel(
                "Windows judged",
                "By the verdict of their newest revision.",
                (
                    (
                        'sum by (verdict) (max by (model, verdict) (driftline_windows_judged{model=~"$model"}))',
                        "{{verdict}}",
                    ),
                ),
                width=16,
            ),
            Panel(
                "Watermark behind the clock",
                "Age of the event time up to which input is complete. It follows at the lateness that is allowed.",
                (('time() - max by (model) (driftline_model_watermark_seconds{model=~"$model"})', "{{model}}"),),
                unit="s",
                width=24,
            ),
        ),
    ),
    (
        "Alerts, and what is done about them",
        (
            Panel(
                "Alerts firing",
                "By name; the alert holds the features, slices and versions behind it.",
                (
                    (
                        (
                            "sum by (model, alertname) "
                            '(max by (model, alertname, severity) (driftline_alerts{state="firing", model=~"$model"}))'
                        ),
                        "{{model}} {{alertname}}",
                    ),
                ),
                kind="stat",
                width=8,
                red_above=1,
            ),
            Panel(
                "Retrains",
                "By where they stand; every one that has begun ends as promoted, rejected, rolled back, failed or cancelled.",
                (
                    (
                        'sum by (state) (max by (model, state) (driftline_retrains{model=~"$model"}))',
                        "{{state}}",
                    ),
                ),
                width=8,
            ),
            Panel(
                "Notifications waiting",
                "Messages that a receiver has not taken yet, and the age of the oldest.",
                (
                    ("max by (receiver) (driftline_notifications_waiting)", "{{receiver}}"),
                    ("max by (receiver) (driftline_notification_oldest_seconds)", "{{receiver}}: oldest, s"),
                ),
                width=8,
            ),
        ),
    ),
    (
        "Quality",
        (
            Panel(
                "Windows with lost quality",
                "Windows, evaluated with all their labels, in which a metric was worse than usual or missed its threshold.",
                (
                    (
                        (
                            "sum by (model) (max by (model, stage) "
                            '(driftline_windows_evaluated{stage!="provisional", verdict="flagged", model=~"$model"}))'
                        ),
                        "{{model}}",
                    ),
                ),
                kind="stat",
                width=8,
                red_above=1,
            ),
            Panel(
                "Windows evaluated",
                "By stage and verdict of the newest evaluation.",
                (
                    (
                        'sum by (stage, verdict) (max by (model, stage, verdict) (driftline_windows_evaluated{model=~"$model"}))',
                        "{{stage}}, {{verdict}}",
                    ),
                ),
                width=16,
            ),
            Panel(
                "Quality by labels",
                "Metrics of the EvalConfig over all rows of the newest window with all its labels.",
                (
                    (
                        'max by (model, version, metric) (driftline_quality{slice="", metric!~".*_count", model=~"$model"})',
                        "{{model}} {{version}} {{metric}}",
                    ),
                ),
                from_zero=False,
            ),
            Panel(
                "Quality as estimated",
                "From the scores of the newest judged window, before its labels; a gap where it is not to be relied on.",
                (
                    (
                        'max by (model, version, metric) (driftline_quality_estimated{model=~"$model"})',
                        "{{model}} {{version}} {{metric}}",
                    ),
                ),
                from_zero=False,
            ),
            Panel(
                "Quality by slice",
                "The same metrics of at most 50 slices, those with the most labels.",
                (
                    (
                        (
                            "max by (model, version, slice, metric) "
                            '(driftline_quality{slice!="", metric!~".*_count", model=~"$model"})'
                        ),
                        "{{model}} {{version}} {{slice}} {{metric}}",
                    ),
                ),
                width=24,
                from_zero=False,
            ),
            Panel(
                "Predictions with a label",
                "Share of the newest window's predictions whose label came within the horizon.",
                (
                    (
                        'max by (model, version) (driftline_label_coverage_ratio{model=~"$model"})',
                        "{{model}} {{version}}",
                    ),
                ),
                unit="percentunit",
                width=8,
            ),
            Panel(
                "Label delay",
                "From prediction to label, in the newest window with all its labels: half of them, and all but a hundredth.",
                (
                    (
                        (
                            "max by (model, version, quantile) "
                            '(driftline_label_delay_seconds{quantile=~"0.5|0.99", model=~"$model"})'
                        ),
                        "{{model}} {{version}} {{quantile}}",
                    ),
                ),
                unit="s",
                width=8,
            ),
            Panel(
                "Labels",
                "What became of the labels counted in a day: joined in time or early, too late, sampled out, or of unknown ids.",
                (
                    (
                        'sum by (fate) (max by (model, fate) (delta(driftline_labels{model=~"$model"}[1d])))',
                        "{{fate}}",
                    ),
                ),
                width=8,
            ),
        ),
    ),
    (
        "Is every record accounted for?",
        (
            Panel(
                "Messages that do not add up",
                "messages - decoded - dead-lettered, over all that was ever committed. Anything but zero is a fault.",
                (('max(abs(driftline_ledger_unaccounted{identity="messages"}))', ""),),
                kind="stat",
                width=6,
                red_above=1,
            ),
            Panel(
                "Records that do not add up",
                "records - sampled out - kept - late, over all that was ever committed. Anything but zero is a fault.",
                (('max(abs(driftline_ledger_unaccounted{identity="records"}))', ""),),
                kind="stat",
                width=6,
                red_above=1,
            ),
            Panel(
                "Offsets lost",
                "Messages that the broker deleted before they were read.",
                (("max(driftline_ledger_lost)", ""),),
                kind="stat",
                width=6,
                red_above=1,
            ),
            Panel(
                "Late rows",
                "Rows of windows that were closed when they came; they make a new revision of their window.",
                (("max(driftline_ledger_late)", ""),),
                kind="stat",
                width=6,
            ),
            Panel(
                "Records",
                "What became of the records read.",
                (
                    ("sum(rate(driftline_collector_kept_total[$__rate_interval]))", "kept"),
                    ("sum(rate(driftline_collector_sampled_out_total[$__rate_interval]))", "sampled out"),
                ),
                unit="ops",
            ),
            Panel(
                "Dead letters by reason",
                "Messages that can never be read.",
                (
                    (
                        "sum by (reason) (rate(driftline_collector_dead_lettered_total[$__rate_interval]))",
                        "{{reason}}",
                    ),
                ),
                unit="ops",
            ),
        ),
    ),
    (
        "Do the processes keep up?",
        (
            Panel(
                "Messages read",
                "By collector.",
                (("sum by (instance) (rate(driftline_collector_messages_total[$__rate_interval]))", "{{instance}}"),),
                unit="ops",
            ),
            Panel(
                "Messages waiting",
                "Lag: what is in the topics and not yet read.",
                (("sum by (stream) (driftline_collector_lag)", "{{stream}}"),),
            ),
            Panel(
                "Rows in memory",
                "Read, and not yet committed.",
                (("driftline_collector_buffered_rows", "{{instance}}"),),
            ),
            Panel(
                "Cuts",
                "Commits, and those discarded because another collector owned the partition by then.",
                (
                    ("sum(rate(driftline_collector_cuts_total[$__rate_interval]))", "committed"),
                    ("sum(rate(driftline_collector_stale_cuts_total[$__rate_interval]))", "discarded"),
                ),
                unit="ops",
            ),
            Panel(
                "Duration of a commit",
                "Sealing, writing the span files, and the transaction, nine times out of ten.",
                (
                    (
                        "histogram_quantile(0.9, sum by (le) (rate(driftline_collector_cut_seconds_bucket[$__rate_interval])))",
                        "90%",
                    ),
                ),
                unit="s",
                width=8,
            ),
            Panel(
                "Held back",
                "Share of the time in which a collector reads nothing because too much waits to be committed.",
                (
                    (
                        "sum by (instance) (rate(driftline_collector_paused_seconds_total[$__rate_interval]))",
                        "{{instance}}",
                    ),
                ),
                unit="percentunit",
                width=8,
            ),
            Panel(
                "Spans sealed",
                "Bytes of span files, by model.",
                (
                    (
                        'sum by (model) (rate(driftline_collector_span_bytes_total{model=~"$model"}[$__rate_interval]))',
                        "{{model}}",
                    ),
                ),
                unit="Bps",
                width=8,
            ),
            Panel(
                "Looks at all models",
                "How long the monitor takes to see what is due and judge it, nine times out of ten.",
                (
                    (
                        "histogram_quantile(0.9, sum by (le) (rate(driftline_monitor_tick_seconds_bucket[$__rate_interval])))",
                        "90%",
                    ),
                ),
                unit="s",
            ),
            Panel(
                "Looks that failed",
                "By model; the log says why.",
                (("sum by (model) (increase(driftline_monitor_errors_total[$__rate_interval]))", "{{model}}"),),
            ),
        ),
    ),
)

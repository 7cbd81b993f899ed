"""`driftline check-config`: is a settings file right?"""

from __future__ import annotations

from pathlib import Path

import click


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path("driftline.yaml"))
def command(*, file: Path) -> None:
    """Check a settings file: exit 0 when it is right, 2 with one line for each thing that is wrong.

    \b
    Examples:
      driftline check-config
      driftline check-config /etc/driftline.yaml
    """
    from monitor.commands.comparing import quieten_tensorflow
    from monitor.config.loading import load_settings
    from monitor.errors import ConfigError
    from monitor.jobs.eval_configs import EvalConfigs
    from monitor.jobs.rules import read_custom_validations
    from monitor.jobs.validating import rule_problems

    settings = load_settings(file)
    problems = [
        f"{file}: models.{name}.detection.validations: {problem}"
        for name, model in settings.models.items()
        for problem in rule_problems(model.detection.validations)
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    for model in settings.models.values():
        if model.detection.custom_validations is not None:
            read_custom_validations(model.detection.custom_validations)
        if model.evaluation is not None:
            quieten_tensorflow()
            EvalConfigs().of(model.evaluation, weighted=False)
    names = ", ".join(sorted(settings.models))
    click.echo(f"{file}: right; {len(settings.models)} model(s): {names}")

"""The message about an experiment that ended, or that began."""

from __future__ import annotations

from dataclasses import dataclass

from include.alerts.message import SlackMessage, buttons, clip, escape, fields, header, section

_HEADLINES = {
    "promote": "🏆 {challenger} predicts better than {champion}",
    "keep_champion": "⚪ {champion} stays: {challenger} is not better",
    "stop_for_harm": "🔴 {challenger} was stopped: it predicts worse",
    "invalid": "🟠 The experiment with {challenger} cannot be used",
    "stopped": "⚪ The experiment with {challenger} was stopped",
    "started": "🧪 {challenger} is being tested against {champion}",
}

_ACTIONS = {
    "promote": "A promotion is being prepared; somebody approves it, unless the thresholds say otherwise.",
    "keep_champion": "All traffic goes to the champion; the next challenger in line is tested.",
    "stop_for_harm": "All traffic went back to the champion at once.",
    "invalid": "All traffic goes to the champion. See why units were lost before it is started again.",
    "stopped": "All traffic goes to the champion.",
    "started": "It is looked at every morning, and stopped at once if it does harm.",
}


@dataclass(frozen=True)
class ExperimentNews:
    """What happened to an experiment.

    Attributes:
        decision: how it ended, or `started`.
        paragraph: why, for people.
        run_url, page_url: the run in Airflow, and the page about models.
    """

    model: str
    experiment: int
    champion: int
    challenger: int
    decision: str
    paragraph: str
    run_url: str
    page_url: str

    @property
    def key(self) -> str:
        """One message per experiment and end."""
        return f"experiment:{self.experiment}:{self.decision}"

    @property
    def needs_somebody(self) -> bool:
        """Whether it goes where people act."""
        return self.decision in ("stop_for_harm", "invalid")


def experiment_message(news: ExperimentNews) -> SlackMessage:
    """The message about one experiment."""
    names = {"champion": f"{news.model} v{news.champion}", "challenger": f"{news.model} v{news.challenger}"}
    headline = _HEADLINES[news.decision].format(**names)
    return SlackMessage(
        clip(escape(f"{headline}: {news.paragraph}"), 300),
        (
            header(headline),
            section(escape(news.paragraph)),
            section(f"*What the system does*\n{escape(_ACTIONS[news.decision])}"),
            fields({"Model": escape(news.model), "Experiment": str(news.experiment)}),
            buttons({"See the models": news.page_url, "Open the run in Airflow": news.run_url}),
        ),
    )

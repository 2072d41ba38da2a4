"""What promotion refuses. None of it is helped by trying again: somebody has to look first."""

from include.errors import PermanentError


class PromotionRefused(PermanentError):
    """The alias is not moved, and everything stays as it is. Base of all that is refused here."""


class ChampionChanged(PromotionRefused):
    """The champion is another than the one the evidence was made against, or than we believe."""


class VersionUnknown(PromotionRefused):
    """MLflow has no such version."""


class NothingToPromote(PromotionRefused):
    """There is no candidate: the model has no challenger, or the version is champion already."""


class NothingToRollBackTo(PromotionRefused):
    """No earlier champion is left in MLflow."""


class RolledBackJustNow(PromotionRefused):
    """Somebody rolled back a moment ago: once more would go one version further."""

"""An ad platform with known truth: demo data, and honest evaluation of what the models learn from it.

`SimulatedWorld.generate(WorldConfig(...))` makes accounts, campaigns, creatives and ads (`catalogue`), lives
through their days (`delivery`) by the effects of `truth`, and tells them as Meta would (`insights`).
`python -m include.simulator load` writes a world to the database.
"""

from include.simulator.config import DriftEvent, WorldConfig, WorldImpossible
from include.simulator.world import SimulatedWorld

__all__ = ["DriftEvent", "SimulatedWorld", "WorldConfig", "WorldImpossible"]

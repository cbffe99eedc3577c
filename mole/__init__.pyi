from mole.inference.heatmap import HeatMap as HeatMap
from mole.inference.heatmap import heat_map as heat_map
from mole.inference.heatmap import heat_maps as heat_maps
from mole.inference.heatmap_overlay import overlay as overlay
from pipeline.library.detector import Detector as Detector
from pipeline.library.detector import Result as Result
from pipeline.library.scorer import Scorer as Scorer

LIBRARY: dict[str, str]

__version__: str

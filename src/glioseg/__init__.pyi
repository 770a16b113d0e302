from glioseg.api.model import Model as Model
from glioseg.api.model import RejectedCaseWarning as RejectedCaseWarning
from glioseg.api.model import load_model as load_model
from glioseg.api.model import segment as segment
from glioseg.api.score import evaluate as evaluate
from glioseg.api.segmentation import RejectedCaseError as RejectedCaseError
from glioseg.api.segmentation import Segmentation as Segmentation
from glioseg.core.errors import GliosegError as GliosegError

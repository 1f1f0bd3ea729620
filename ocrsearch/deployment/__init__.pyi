from .export import MAX_CER_INCREASE as MAX_CER_INCREASE
from .export import OnnxExport as OnnxExport
from .export import export_onnx as export_onnx
from .export import plain_report as plain_report
from .networks import BUILDERS as BUILDERS
from .parity import ComparisonImages as ComparisonImages
from .writing import build_graphs as build_graphs
from .writing import file_content as file_content

from .networks import BUILDERS as BUILDERS
from .writing import build_graphs as build_graphs
from .writing import file_content as file_content

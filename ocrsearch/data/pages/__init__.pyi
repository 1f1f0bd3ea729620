from .layout import MARGIN as MARGIN
from .layout import Box as Box
from .layout import FoundLine as FoundLine
from .layout import Layout as Layout
from .layout import find_lines as find_lines
from .layout import find_several_rows as find_several_rows

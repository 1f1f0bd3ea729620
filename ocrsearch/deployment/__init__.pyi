from .server import LOOPBACK_NAMES as LOOPBACK_NAMES
from .server import address_of as address_of
from .server import is_loopback as is_loopback
from .server import listen as listen
from .server import run_server as run_server
from .service import build_app as build_app
from .service_options import ServiceArguments as ServiceArguments
from .service_options import ServiceOptions as ServiceOptions

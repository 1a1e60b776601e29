"""Health check of a container: `python -m infra.ready PORT` ends with 0 when it is ready."""

import sys
from urllib.error import URLError
from urllib.request import urlopen

try:
    with urlopen(f"http://127.0.0.1:{int(sys.argv[1])}/ready", timeout=3):
        pass
except URLError as error:
    sys.exit(f"not ready: {error}")

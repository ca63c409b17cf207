"""Programs that tests run in processes of their own: they fork, exit, patch or measure a whole interpreter."""

import logging

logging.getLogger("tokenguard").addHandler(logging.NullHandler())  # what they complain of is looked at

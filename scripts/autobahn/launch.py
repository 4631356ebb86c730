"""Run wstest on PyPy 2.7, without TLS and without unittest2.

    launch.py SITE ARGUMENTS...

The suite imports twisted.internet.ssl, which needs pyOpenSSL, and a test module of Autobahn's, which needs unittest2.
It uses neither for ws:// URLs, so stand-ins take their places.
"""

import site
import sys
import types
import unittest

site.addsitedir(sys.argv.pop(1))
sys.modules["unittest2"] = unittest
ssl = types.ModuleType("twisted.internet.ssl")
ssl.ClientContextFactory = ssl.DefaultOpenSSLContextFactory = ssl.ContextFactory = object
sys.modules["twisted.internet.ssl"] = ssl
import twisted.internet  # noqa: E402

twisted.internet.ssl = ssl
sys.argv[0] = "wstest"
from autobahntestsuite.wstest import run  # noqa: E402

run()

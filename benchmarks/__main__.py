"""`make bench`: the codec against wsproto, then the echo servers. Words after it go to the echo benchmark."""

import sys

import benchmarks.codec.__main__
import benchmarks.echo.__main__

benchmarks.codec.__main__.main([])
print()
benchmarks.echo.__main__.main(sys.argv[1:])

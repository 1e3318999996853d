#if canImport(Glibc)
import Glibc
#endif

exit(RenderBench().run() ? 0 : 1)

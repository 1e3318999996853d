// libzstd as it is: every function that Steward calls has a fixed argument list, so no wrapper is needed.
#include <zstd.h>

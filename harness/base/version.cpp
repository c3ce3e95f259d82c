#include "harness/base/version.h"

#include "bitloop_version.h"

namespace bitloop {

const char* version() { return BITLOOP_VERSION; }
const char* git_hash() { return BITLOOP_GIT_HASH; }

}  // namespace bitloop

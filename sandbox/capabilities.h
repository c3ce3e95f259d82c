// No capability is left to the jailed program, in no set, and exec can't give one back
// (no-new-privs).
#pragma once

namespace bitloop::sandbox {

// In the child. async-signal-safe; false with errno.
bool forbid_new_privileges();
bool drop_capabilities();

}  // namespace bitloop::sandbox

// Who asks. Without tokens a server has no callers, and everything is allowed.
#pragma once

#include <string>

namespace bitloop::api {

// An agent works on the sessions that its token made and sees no others; a reviewer reads
// everything and changes nothing.
enum class Role { kAgent, kReviewer };

struct Caller {
  std::string name;  // of the token
  Role role = Role::kAgent;
  std::string digest = {};  // of the token, in hexadecimal: another token of the same name differs
};

}  // namespace bitloop::api

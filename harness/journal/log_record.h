// An event as the write-ahead log has it: all that must be on disk for it to have happened.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::journal {

struct LoggedObject {
  std::string id;     // 40 hexadecimal digits
  std::string bytes;  // of its file
};

struct LoggedEvent {
  std::string branch;                 // in full: "refs/heads/sessions/…"
  std::string commit;                 // where the branch goes
  std::vector<LoggedObject> objects;  // those that were not there before
  // The event of this branch and commit, which was logged, did not come about.
  bool withdrawn = false;
};

// As CBOR (RFC 8949).
std::string encode(const LoggedEvent& event);
// Error: "journal_unreadable".
Result<LoggedEvent> decode(std::string_view record);

}  // namespace bitloop::journal

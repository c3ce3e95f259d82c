// Which candidates were tested before, so that an edit which makes one of them again can say so
// before a test is spent on it.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/sessions/state.h"

namespace bitloop::sessions {

// What a candidate is compared by.
struct Digest {
  std::string exact;    // of the bytes
  std::string meaning;  // of the tokens: without comments and white space
};
Digest digest_of(std::string_view candidate);

// The digests of commits, read once: a commit never changes. Thread-safe.
class Digests {
 public:
  using Read = std::function<Result<std::string>(const std::string& commit)>;  // its candidate
  explicit Digests(Read read) : read_(std::move(read)) {}

  Result<Digest> of(const std::string& commit);

 private:
  Read read_;
  std::mutex mutex_;
  std::map<std::string, Digest> known_;
};

// A test of a candidate that has ended by the candidate's own doing.
struct Tried {
  std::string session;
  int64_t test = 0;
  std::string commit;
  std::string status;
  std::optional<double> val_loss;
  std::string behaviour = {};  // as in TestRecord
};
// Those of a session, oldest first; without what the machine or a person ended.
std::vector<Tried> tried_in(const SessionState& state);

// What an edit from `before` to `after` is warned of: that it changes nothing (or nothing but
// comments and white space); that `after` was tested in this session, else in another one. At most
// a sentence of each; of several tests the newest. What cannot be read is passed over.
std::vector<std::string> warnings_of(std::string_view before, std::string_view after,
                                     const std::vector<Tried>& here,
                                     const std::vector<Tried>& elsewhere, Digests& known);

// What a check of a candidate with this digest of behaviour is warned of: that a tested one did the
// same, in this session, else in another one; the newest. Nothing for "".
std::optional<std::string> behaviour_warning(const std::string& behaviour,
                                             const std::vector<Tried>& here,
                                             const std::vector<Tried>& elsewhere);

}  // namespace bitloop::sessions

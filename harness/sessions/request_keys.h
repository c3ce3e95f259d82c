// The Idempotency-Keys of one session: which event was done under which, so that a request that
// comes twice is done once. They stand as trailers in the commits of the events; this is the index.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/journal/event.h"
#include "harness/sessions/commit_name.h"
#include "harness/sessions/short_digest.h"

namespace bitloop::sessions {

class RequestKeys {
 public:
  static constexpr size_t kMost = 1000;  // the newest are remembered

  RequestKeys() = default;
  // From a session's events, oldest first.
  explicit RequestKeys(const std::vector<journal::Commit>& history);

  // Writes key and request (its body) into the trailers of an event; without a key, nothing.
  static void mark(journal::Event& event, std::string_view key, std::string_view request);

  // Remembers an event that was committed (40 hexadecimal digits); one without a key is passed
  // over.
  void add(std::string_view kind, const std::vector<journal::Trailer>& trailers,
           const std::string& commit);
  // The commit of the event of this kind that was done under `key`; nothing when none is known. The
  // same key may be used for another kind. Error: "key_reused" (it was another request).
  Result<std::optional<std::string>> find(std::string_view kind, std::string_view key,
                                          std::string_view request) const;

 private:
  // 56 bytes, however long key and request are: sessions at work have up to kMost of these.
  struct Done {
    ShortDigest name;    // of kind and key
    CommitName request;  // its content_id, which is formed as a commit's
    CommitName commit;
  };
  std::vector<Done> done_;  // in a circle once it is full
  size_t oldest_ = 0;       // where the circle begins
};

// What a key that was used for another request is answered with.
Error key_reused();

}  // namespace bitloop::sessions

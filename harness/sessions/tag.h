// A short label that an agent or a person gave to a session or to one of its tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitloop::sessions {

struct Tag {
  std::string tag;              // 1 to 40 of a-z, A-Z, 0-9, '.', '_' and '-'
  std::optional<int64_t> test;  // absent: the session's

  bool operator==(const Tag&) const = default;
};

// A session's, after a change.
struct TagsView {
  std::string commit;  // the session's newest
  std::vector<Tag> tags;
};

}  // namespace bitloop::sessions

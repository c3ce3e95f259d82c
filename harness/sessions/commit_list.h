// A list of commits that only grows and is as long as the journal: 24 bytes each, where their names
// as text would take 200.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "harness/sessions/commit_name.h"

namespace bitloop::sessions {

// A commit of the journal, and whose it is.
struct FeedCommit {
  std::string session;
  std::string commit;  // 40 hexadecimal digits
};

class CommitList {
 public:
  void reserve(size_t count) { kept_.reserve(count); }
  // Requires: a commit's name.
  void add(const FeedCommit& commit);
  void add(const CommitList& others);
  size_t size() const { return kept_.size(); }
  FeedCommit at(size_t place) const;
  // The place of the last such commit; nothing when there is none, or what is asked for is no
  // commit's name.
  std::optional<size_t> find(std::string_view commit) const;

 private:
  struct Kept {
    CommitName name;
    uint32_t session;  // in sessions_
  };
  uint32_t number_of(const std::string& session);

  std::vector<Kept> kept_;
  std::vector<std::string> sessions_;
  std::unordered_map<std::string, uint32_t> numbers_;  // their places
};

}  // namespace bitloop::sessions

#include "harness/sessions/commit_list.h"

#include <algorithm>

namespace bitloop::sessions {

uint32_t CommitList::number_of(const std::string& session) {
  const auto [place, is_new] =
      numbers_.try_emplace(session, static_cast<uint32_t>(sessions_.size()));
  if (is_new) sessions_.push_back(session);
  return place->second;
}

void CommitList::add(const FeedCommit& commit) {
  kept_.push_back({packed(commit.commit).value_or(CommitName{}), number_of(commit.session)});
}

void CommitList::add(const CommitList& others) {
  for (const Kept& other : others.kept_)
    kept_.push_back({other.name, number_of(others.sessions_[other.session])});
}

FeedCommit CommitList::at(size_t place) const {
  const Kept& kept = kept_[place];
  return {sessions_[kept.session], unpacked(kept.name)};
}

std::optional<size_t> CommitList::find(std::string_view commit) const {
  const auto name = packed(commit);
  if (!name) return std::nullopt;
  // From the end: whoever comes back missed little.
  const auto found = std::ranges::find(kept_.rbegin(), kept_.rend(), *name, &Kept::name);
  if (found == kept_.rend()) return std::nullopt;
  return static_cast<size_t>(kept_.rend() - found) - 1;
}

}  // namespace bitloop::sessions

#include "harness/sessions/commit_list.h"

#include <algorithm>
#include <charconv>

namespace bitloop::sessions {

std::optional<CommitList::Name> CommitList::packed(std::string_view commit) {
  Name name{};
  if (commit.size() != 2 * name.size()) return std::nullopt;
  for (size_t i = 0; i < name.size(); ++i) {
    const char* digits = commit.data() + 2 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, name[i], 16);
    if (error != std::errc{} || end != digits + 2) return std::nullopt;
  }
  return name;
}

uint32_t CommitList::number_of(const std::string& session) {
  const auto [place, is_new] =
      numbers_.try_emplace(session, static_cast<uint32_t>(sessions_.size()));
  if (is_new) sessions_.push_back(session);
  return place->second;
}

void CommitList::add(const FeedCommit& commit) {
  kept_.push_back({packed(commit.commit).value_or(Name{}), number_of(commit.session)});
}

void CommitList::add(const CommitList& others) {
  for (const Kept& other : others.kept_)
    kept_.push_back({other.name, number_of(others.sessions_[other.session])});
}

FeedCommit CommitList::at(size_t place) const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const Kept& kept = kept_[place];
  FeedCommit commit{sessions_[kept.session], ""};
  for (const uint8_t byte : kept.name) {
    commit.commit += kDigits[byte >> 4U];
    commit.commit += kDigits[byte & 15U];
  }
  return commit;
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

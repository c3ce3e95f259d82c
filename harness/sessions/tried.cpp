#include "harness/sessions/tried.h"

#include <fmt/format.h>

#include <limits>

namespace bitloop::sessions {
namespace {

std::string score_words(const Tried& tried) {
  return tried.val_loss ? fmt::format("val_loss {:.4f}", *tried.val_loss)
                        : "it ended as " + tried.status;
}

// "test #3 of session brave-otter-1f3a (val_loss 1.2345) on the same task"
std::string name_of(const TriedTests::Found& found) {
  return found.elsewhere ? fmt::format("test #{} of session {} ({}) on the same task",
                                       found.test.test, found.test.session, score_words(found.test))
                         : fmt::format("test #{} ({})", found.test.test, score_words(found.test));
}

}  // namespace

TriedTests::Place TriedTests::ByPlace::operator()(const Mark& mark) const {
  const Kept& kept = all->tests_[mark.test];
  return {mark.name, kept.session->second, kept.session->first, kept.number};
}

ShortDigest TriedTests::name_of(const SessionState& session, What what, std::string_view digest) {
  return short_digest(
      fmt::format("{}\n{}\n{}{}", session.task, session.token, static_cast<char>(what), digest));
}

void TriedTests::add(const SessionState& session, const TestRecord& test) {
  if (is_of_command_line(session.type) || test.running() || test.status == kInfrastructure ||
      test.status == kCancelled)
    return;
  std::vector<ShortDigest> names;
  // Without a digest: a candidate that could not be read.
  if (!test.digest.exact.empty())
    names = {name_of(session, What::kExact, test.digest.exact),
             name_of(session, What::kMeaning, test.digest.meaning)};
  if (!test.behaviour.empty()) names.push_back(name_of(session, What::kBehaviour, test.behaviour));
  if (names.empty()) return;
  const std::lock_guard guard(mutex_);
  tests_.push_back({&*sessions_.try_emplace(session.id, session.created).first,
                    &*statuses_.insert(test.status).first, test.number, test.row.val_loss});
  for (const ShortDigest& name : names) {
    const Mark mark{name, static_cast<uint32_t>(tests_.size() - 1)};
    marks_.erase(mark);  // of the same test, told of before
    marks_.insert(mark);
  }
}

std::optional<TriedTests::Found> TriedTests::newest(const ShortDigest& name,
                                                    const SessionState& session,
                                                    bool elsewhere) const {
  const Place own_end{name, session.created, session.id, std::numeric_limits<int64_t>::max()};
  auto after = elsewhere ? marks_.upper_bound(name) : marks_.upper_bound(own_end);
  while (after != marks_.begin()) {
    const Mark& mark = *--after;
    if (mark.name != name) return {};
    const Kept& kept = tests_[mark.test];
    if ((kept.session->first != session.id) == elsewhere)
      return Found{
          {kept.session->first, kept.number, *kept.status, kept.val_loss}, false, elsewhere};
    if (!elsewhere) return {};
  }
  return {};
}

std::optional<TriedTests::Found> TriedTests::find(const SessionState& session,
                                                  const Digest& candidate) const {
  const ShortDigest exact = name_of(session, What::kExact, candidate.exact);
  const ShortDigest meaning = name_of(session, What::kMeaning, candidate.meaning);
  const std::lock_guard guard(mutex_);
  for (const bool elsewhere : {false, true}) {
    if (auto found = newest(exact, session, elsewhere)) {
      found->exact = true;
      return found;
    }
    if (auto found = newest(meaning, session, elsewhere)) return found;
  }
  return {};
}

std::optional<TriedTests::Found> TriedTests::find_behaviour(const SessionState& session,
                                                            const std::string& behaviour) const {
  if (behaviour.empty()) return {};
  const ShortDigest name = name_of(session, What::kBehaviour, behaviour);
  const std::lock_guard guard(mutex_);
  const auto found = newest(name, session, false);
  return found ? found : newest(name, session, true);
}

std::vector<std::string> warnings_of(std::string_view before, std::string_view after,
                                     const SessionState& session, const TriedTests& tests) {
  std::vector<std::string> warnings;
  const Digest old = digest_of(before);
  const Digest candidate = digest_of(after);
  if (old.exact == candidate.exact)
    warnings.emplace_back("This edit changes nothing: the file is what it was.");
  else if (old.meaning == candidate.meaning)
    warnings.emplace_back(
        "This edit changes comments or white space alone: the candidate does what it did.");
  if (const auto found = tests.find(session, candidate))
    warnings.push_back(fmt::format(
        "{} that of {}: a test of it would tell nothing new.",
        found->exact ? "The candidate is byte by byte" : "But for comments and white space it is",
        name_of(*found)));
  return warnings;
}

std::optional<std::string> behaviour_warning(const std::string& behaviour,
                                             const SessionState& session, const TriedTests& tests) {
  const auto found = tests.find_behaviour(session, behaviour);
  if (!found) return {};
  return fmt::format(
      "The candidate does the same as that of {}, to the last bit on the probe tensors: most "
      "likely "
      "a test of it would tell nothing new.",
      name_of(*found));
}

}  // namespace bitloop::sessions

#include "harness/sessions/request_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/journal/journal.h"

namespace bitloop::sessions {
namespace {

constexpr const char* kKeyTrailer = "Bitloop-Idempotency-Key";
constexpr const char* kRequestTrailer = "Bitloop-Request";  // content_id of the body

std::string_view value_of(const std::vector<journal::Trailer>& trailers, std::string_view key) {
  for (const journal::Trailer& trailer : trailers)
    if (trailer.key == key) return trailer.value;
  return "";
}

// A kind has no space.
ShortDigest name_of(std::string_view kind, std::string_view key) {
  return short_digest(fmt::format("{} {}", kind, key));
}

}  // namespace

RequestKeys::RequestKeys(const std::vector<journal::Commit>& history) {
  for (const journal::Commit& commit : history) add(commit.kind, commit.trailers, commit.id);
}

void RequestKeys::mark(journal::Event& event, std::string_view key, std::string_view request) {
  if (key.empty()) return;
  event.trailers.push_back({kKeyTrailer, std::string(key)});
  event.trailers.push_back({kRequestTrailer, journal::content_id(request)});
}

void RequestKeys::add(std::string_view kind, const std::vector<journal::Trailer>& trailers,
                      const std::string& commit) {
  const std::string_view key = value_of(trailers, kKeyTrailer);
  if (key.empty()) return;
  const Done done{name_of(kind, key),
                  packed(value_of(trailers, kRequestTrailer)).value_or(CommitName{}),
                  packed(commit).value_or(CommitName{})};
  if (const auto found = std::ranges::find(done_, done.name, &Done::name); found != done_.end()) {
    *found = done;
  } else if (done_.size() < kMost) {
    done_.push_back(done);
  } else {
    done_[oldest_] = done;
    oldest_ = (oldest_ + 1) % kMost;
  }
}

Result<std::optional<std::string>> RequestKeys::find(std::string_view kind, std::string_view key,
                                                     std::string_view request) const {
  const auto found = std::ranges::find(done_, name_of(kind, key), &Done::name);
  if (found == done_.end()) return std::nullopt;
  if (found->request != packed(journal::content_id(request))) return std::unexpected(key_reused());
  return unpacked(found->commit);
}

Error key_reused() {
  return {"key_reused",
          "This Idempotency-Key was used for another request; take a new one for a new request."};
}

}  // namespace bitloop::sessions

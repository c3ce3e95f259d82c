#include "harness/sessions/session_event.h"

#include <gtest/gtest.h>

namespace bitloop::sessions {
namespace {

using nlohmann::json;

journal::Commit commit(std::string kind, std::vector<journal::Trailer> trailers) {
  return {.id = "c1",
          .parent = "c0",
          .time_s = 17,
          .kind = std::move(kind),
          .sentence = "A sentence",
          .body = "one\ntwo",
          .trailers = std::move(trailers)};
}

TEST(SessionEvent, SaysWhatTheCommitSays) {
  const auto event =
      stream_event_of(commit("test-finished", {{"Bitloop-Test", "2"}, {"Bitloop-Status", "ok"}}),
                      "s", {{"val_loss", 1.5}});
  EXPECT_EQ(event.id, "c1");
  EXPECT_EQ(event.kind, "test-finished");
  EXPECT_EQ(event.data.find('\n'), std::string::npos);
  const json expected = {{"session", "s"},
                         {"commit", "c1"},
                         {"time", 17},
                         {"event", "test-finished"},
                         {"message", "A sentence"},
                         {"test", 2},
                         {"status", "ok"},
                         {"description", "one\ntwo"},
                         {"metrics", {{"val_loss", 1.5}}}};
  EXPECT_EQ(json::parse(event.data), expected);
}

TEST(SessionEvent, AMissingNumberIsNull) {
  const json check = json::parse(stream_event_of(commit("check", {}), "s", {}).data);
  EXPECT_TRUE(check["test"].is_null());
  EXPECT_TRUE(check["bits_per_weight"].is_null());
  EXPECT_FALSE(check.contains("metrics"));
}

TEST(SessionEvent, TheNumberInTheOrderOfAll) {
  EXPECT_EQ(sequence_of(commit("edit", {{"Bitloop-Sequence", "18446744073709551615"}})),
            UINT64_MAX);
  for (const char* bad : {"", "-1", "1x", "99999999999999999999"})
    EXPECT_EQ(sequence_of(commit("edit", {{"Bitloop-Sequence", bad}})), 0U) << bad;
  EXPECT_EQ(sequence_of(commit("edit", {})), 0U);
}

}  // namespace
}  // namespace bitloop::sessions

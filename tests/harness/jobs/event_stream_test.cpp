#include "harness/jobs/event_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitloop::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EventStreamTest : public ::testing::Test {
 protected:
  EventStream stream_{"secret", [this](const Json& record) { records_.push_back(record.dump()); }};
  std::vector<std::string> records_;
};

TEST_F(EventStreamTest, PassesRecordsOnWithoutTheNonceInTheirOrder) {
  EXPECT_TRUE(
      stream_.feed("{\"type\":\"step\",\"nonce\":\"secret\",\"step\":1}\n"
                   "{\"nonce\":\"secret\",\"type\":\"val\",\"z\":1,\"a\":2.5}\n"));
  EXPECT_THAT(records_,
              ElementsAre(R"({"type":"step","step":1})", R"({"type":"val","z":1,"a":2.5})"));
}

TEST_F(EventStreamTest, TakesBytesAsTheyCome) {
  for (const char c : std::string(
           "{\"type\":\"a\",\"nonce\":\"secret\"}\n{\"type\":\"b\",\"nonce\":\"secret\"}\n"))
    ASSERT_TRUE(stream_.feed({&c, 1}));
  EXPECT_EQ(records_.size(), 2u);
}

TEST_F(EventStreamTest, ALineWithoutItsEndIsDropped) {
  EXPECT_TRUE(stream_.feed("{\"type\":\"a\",\"nonce\":\"secret\"}"));
  EXPECT_TRUE(records_.empty());
  EXPECT_TRUE(stream_.violation().empty());
}

TEST_F(EventStreamTest, RefusesEverythingElse) {
  const std::string deep =
      "{\"nonce\":\"secret\",\"type\":\"a\",\"x\":" + std::string(500000, '[') + "\n";
  const std::pair<std::string, const char*> cases[] = {
      {"hello\n", "not a JSON object"},
      {"\n", "not a JSON object"},
      {"[1]\n", "not a JSON object"},
      {"{\"type\":\"a\"\n", "not a JSON object"},
      {"{\"type\":\"a\",\"nonce\":\"\xff\"}\n", "not a JSON object"},
      {"{\"type\":\"a\"}\n", "nonce"},
      {"{\"type\":\"a\",\"nonce\":\"wrong\"}\n", "nonce"},
      {"{\"type\":\"a\",\"nonce\":1}\n", "nonce"},
      {"{\"nonce\":\"secret\"}\n", "type"},
      {"{\"type\":1,\"nonce\":\"secret\"}\n", "type"},
      {std::string(kMaxLineBytes + 1, 'x') + "\n", "over 1 MiB"},
      {std::string(kMaxLineBytes + 1, 'x'), "over 1 MiB"},
      {deep, "too deeply"},
  };
  for (const auto& [line, reason] : cases) {
    EventStream stream("secret", [](const Json&) { FAIL() << "a record was passed on"; });
    EXPECT_FALSE(stream.feed(line)) << line.substr(0, 60);
    EXPECT_THAT(stream.violation(), HasSubstr(reason));
    EXPECT_THAT(stream.violation(), HasSubstr("record 1"));
    EXPECT_FALSE(stream.feed("{\"type\":\"a\",\"nonce\":\"secret\"}\n"))
        << "goes on after a violation";
  }
}

// Good records without end would fill the disk.
TEST_F(EventStreamTest, AFloodOfGoodRecordsEnds) {
  const std::string line = "{\"type\":\"a\",\"nonce\":\"secret\"}\n";
  int count = 0;
  EventStream stream(
      "secret", [&](const Json&) { ++count; }, 10 * line.size());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(stream.feed(line));
  EXPECT_FALSE(stream.feed(line));
  EXPECT_THAT(stream.violation(), HasSubstr("more records than any run has"));
  EXPECT_EQ(count, 10);
}

TEST_F(EventStreamTest, NothingMayFollowTheResult) {
  EXPECT_TRUE(stream_.feed("{\"type\":\"result\",\"nonce\":\"secret\"}\n"));
  EXPECT_FALSE(stream_.feed("{\"type\":\"result\",\"nonce\":\"secret\"}\n"));
  EXPECT_EQ(records_.size(), 1u);
}

}  // namespace
}  // namespace bitloop::jobs

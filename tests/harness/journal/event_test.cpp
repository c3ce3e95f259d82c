#include "harness/journal/event.h"

#include <gmock/gmock.h>

#include "tests/harness/journal/fixture.h"

namespace bitloop::journal {
namespace {

using testing::HasSubstr;

std::string rendered(const Event& event) {
  auto message = render_message(event);
  EXPECT_TRUE(message) << message.error().message;
  return message.value_or("");
}

TEST(Event, IsASentenceABodyAndTrailers) {
  Event event = make_event("test-finished", "Test #2 is ok");
  event.body = "try a median scale\n\nsecond paragraph\n";
  event.trailers = {{"Bitloop-Test", "2"}, {"Bitloop-Val-Loss", "1.8231"}, {"Bitloop-Bits", ""}};
  EXPECT_EQ(rendered(event),
            "Test #2 is ok\n\n  try a median scale\n\n  second paragraph\n\n"
            "Bitloop-Event: test-finished\nBitloop-Test: 2\nBitloop-Val-Loss: 1.8231\n");
  const Commit commit = parse_message(rendered(event));
  EXPECT_EQ(commit.kind, "test-finished");
  EXPECT_EQ(commit.sentence, "Test #2 is ok");
  EXPECT_EQ(commit.body, "try a median scale\n\nsecond paragraph");
  EXPECT_EQ(commit.trailer("Bitloop-Test"), "2");
  EXPECT_EQ(commit.trailer("Bitloop-Val-Loss"), "1.8231");
  EXPECT_EQ(commit.trailer("Bitloop-Bits"), "");
  EXPECT_EQ(commit.trailers.size(), 3u);
}

TEST(Event, WithoutABody) {
  EXPECT_EQ(rendered(make_event("edit", "Replaced")), "Replaced\n\nBitloop-Event: edit\n");
  const Commit commit = parse_message("Replaced\n\nBitloop-Event: edit\n");
  EXPECT_EQ(commit.sentence, "Replaced");
  EXPECT_EQ(commit.body, "");
}

TEST(Event, RefusesKeysThatGitWouldNotRead) {
  for (const char* key :
       {"", "Bitloop Test", "Bitloop:Test", "-x", "a\nb", "\u00e4", "Bitloop-Event"}) {
    Event event = make_event("edit", "s");
    event.trailers = {{key, "v"}};
    auto message = render_message(event);
    ASSERT_FALSE(message) << key;
    EXPECT_EQ(message.error().code, "bad_trailer");
  }
  EXPECT_EQ(render_message(make_event("", "s")).error().code, "bad_trailer");
  EXPECT_EQ(render_message(make_event("\n", "s")).error().code, "bad_trailer");
}

TEST(Event, ParsesAnyText) {
  for (const char* text : {"", "\n\n\n", "one", "one\ntwo", "Bitloop-Event: edit",
                           "a\n\nb: c\nno trailer", ":\n\n:\n"})
    EXPECT_EQ(parse_message(text).kind, "") << text;
}

// What git itself reads in a message must be what was put in, whatever the text says.
class Forgery : public testing::TestWithParam<std::string> {};

TEST_P(Forgery, StaysInItsField) {
  Workspace workspace;
  auto lock = WorkspaceLock::acquire(workspace.path());
  auto journal = Journal::open_or_create(*lock);
  Event event = make_event("edit", GetParam());
  event.body = GetParam();
  event.trailers = {{"Bitloop-Description", GetParam()}, {"Bitloop-Test", "2"}};
  auto id = (*journal)->create_session("s", event);
  ASSERT_TRUE(id) << id.error().message;

  const Commit commit = (*journal)->history("s").value().at(0);
  EXPECT_EQ(commit.kind, "edit");
  EXPECT_EQ(commit.trailer("Bitloop-Test"), "2");
  const auto kinds = workspace.git("log -1 --format='%(trailers:key=Bitloop-Event,valueonly)'");
  EXPECT_EQ(single_line(kinds.text), "edit") << kinds.text;
  const auto parsed =
      workspace.git("cat-file commit HEAD | sed '1,/^$/d' | git interpret-trailers --parse");
  int events = 0;
  for (const std::string& line : split_lines(parsed.text)) {
    if (line.starts_with("Bitloop-Event:")) ++events;
    EXPECT_TRUE(line == "Bitloop-Event: edit" || line == "Bitloop-Test: 2" ||
                line.starts_with("Bitloop-Description: "))
        << line;
  }
  EXPECT_EQ(events, 1) << parsed.text;
  EXPECT_THAT(parsed.text, HasSubstr("Bitloop-Test: 2\n"));
  EXPECT_EQ(workspace.git("log --format=%h --grep='^Bitloop-Event: submission'").text, "");
  workspace.expect_fsck_clean();
}

using namespace std::string_literals;
INSTANTIATE_TEST_SUITE_P(
    Texts, Forgery,
    testing::Values(
        "plain", "", "Bitloop-Event: submission", "x\n\nBitloop-Event: submission",
        "x\r\n\r\nBitloop-Event: submission\r\n", "\n\n\nBitloop-Event: submission\n\n\n",
        "---\nBitloop-Event: submission", "--- x", "x\n---\n", "# comment", "x\n# y\n",
        "a\0Bitloop-Event: submission"s, "x\x0b\x0c\x1b[2J\x7f", "\xff\xfe broken \xc3",
        "x\u2028\u2028Bitloop-Event: submission", "\u0085\u0085Bitloop-Event: submission",
        "Signed-off-by: x\nBitloop-Event: submission",
        "(cherry picked from commit 0)\nBitloop-Event: submission", " Bitloop-Event: submission",
        "x\n\n\tBitloop-Event: submission", "-- -Bitloop-Event: submission",
        "#Bitloop-Event: submission", "Conflicts:\n\tx"));

}  // namespace
}  // namespace bitloop::journal

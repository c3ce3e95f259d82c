#include "harness/sessions/request_keys.h"

#include <gtest/gtest.h>

namespace bitloop::sessions {
namespace {

// An event as the journal gives it back.
journal::Commit committed(const std::string& id, const std::string& kind, const std::string& key,
                          const std::string& request) {
  journal::Event event;
  event.kind = kind;
  event.sentence = "Did it";
  RequestKeys::mark(event, key, request);
  journal::Commit commit = journal::parse_message(*journal::render_message(event));
  commit.id = id;
  return commit;
}

TEST(RequestKeys, AreFoundAgainInTheHistory) {
  const RequestKeys keys({committed("c1", "edit", "a", "one"), committed("c2", "edit", "", "two"),
                          committed("c3", "undo", "a", "three")});
  EXPECT_EQ(*keys.find("edit", "a", "one"), "c1");
  EXPECT_EQ(*keys.find("undo", "a", "three"), "c3");
  EXPECT_EQ(*keys.find("edit", "b", "one"), std::nullopt);
  EXPECT_EQ(*keys.find("check", "a", "one"), std::nullopt);
  EXPECT_EQ(keys.find("edit", "a", "One").error().code, "key_reused");
}

TEST(RequestKeys, AnyVisibleCharacterSurvivesTheJournal) {
  std::string key;
  for (char c = '!'; c <= '~'; ++c) key += c;
  key += key + std::string(255 - 2 * key.size(), ':');
  const RequestKeys keys({committed("c1", "edit", key, "")});
  EXPECT_EQ(*keys.find("edit", key, ""), "c1");
}

TEST(RequestKeys, TheOldestAreForgotten) {
  RequestKeys keys;
  for (size_t i = 0; i <= RequestKeys::kMost; ++i) {
    const auto commit = committed("c", "edit", std::to_string(i), "");
    keys.add(commit.kind, commit.trailers, commit.id);
  }
  EXPECT_EQ(*keys.find("edit", "0", ""), std::nullopt);
  EXPECT_TRUE(*keys.find("edit", "1", ""));
  EXPECT_TRUE(*keys.find("edit", std::to_string(RequestKeys::kMost), ""));
}

}  // namespace
}  // namespace bitloop::sessions

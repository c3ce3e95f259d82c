#include "harness/sessions/request_keys.h"

#include <gtest/gtest.h>

namespace bitloop::sessions {
namespace {

const std::string kFirst(40, '1'), kSecond(40, '2'), kThird(40, 'c');

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
  const RequestKeys keys({committed(kFirst, "edit", "a", "one"),
                          committed(kSecond, "edit", "", "two"),
                          committed(kThird, "undo", "a", "three")});
  EXPECT_EQ(*keys.find("edit", "a", "one"), kFirst);
  EXPECT_EQ(*keys.find("undo", "a", "three"), kThird);
  EXPECT_EQ(*keys.find("edit", "b", "one"), std::nullopt);
  EXPECT_EQ(*keys.find("check", "a", "one"), std::nullopt);
  EXPECT_EQ(keys.find("edit", "a", "One").error().code, "key_reused");
}

TEST(RequestKeys, AnyVisibleCharacterSurvivesTheJournal) {
  std::string key;
  for (char c = '!'; c <= '~'; ++c) key += c;
  key += key + std::string(255 - 2 * key.size(), ':');
  const RequestKeys keys({committed(kFirst, "edit", key, "")});
  EXPECT_EQ(*keys.find("edit", key, ""), kFirst);
}

TEST(RequestKeys, OfTwoEventsUnderOneKeyTheNewerCounts) {
  const RequestKeys keys(
      {committed(kFirst, "edit", "a", "one"), committed(kSecond, "edit", "a", "two")});
  EXPECT_EQ(*keys.find("edit", "a", "two"), kSecond);
  EXPECT_EQ(keys.find("edit", "a", "one").error().code, "key_reused");
}

TEST(RequestKeys, TheOldestAreForgotten) {
  RequestKeys keys;
  for (size_t i = 0; i <= RequestKeys::kMost; ++i) {
    const auto commit = committed(kFirst, "edit", std::to_string(i), "");
    keys.add(commit.kind, commit.trailers, commit.id);
  }
  EXPECT_EQ(*keys.find("edit", "0", ""), std::nullopt);
  EXPECT_TRUE(*keys.find("edit", "1", ""));
  EXPECT_TRUE(*keys.find("edit", std::to_string(RequestKeys::kMost), ""));
  // Twice round, in their order.
  for (size_t i = 1; i <= 2 * RequestKeys::kMost; ++i) {
    const auto commit = committed(kSecond, "undo", std::to_string(i), "");
    keys.add(commit.kind, commit.trailers, commit.id);
  }
  EXPECT_EQ(*keys.find("edit", std::to_string(RequestKeys::kMost), ""), std::nullopt);
  EXPECT_EQ(*keys.find("undo", std::to_string(RequestKeys::kMost), ""), std::nullopt);
  EXPECT_EQ(*keys.find("undo", std::to_string(RequestKeys::kMost + 1), ""), kSecond);
}

}  // namespace
}  // namespace bitloop::sessions

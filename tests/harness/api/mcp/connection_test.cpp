#include "harness/api/mcp/connection.h"

#include <gtest/gtest.h>

#include <set>

namespace bitloop::api::mcp {
namespace {

TEST(Connection, OneSessionNeedsNoNameAndSeveralDo) {
  Connection connection("2025-11-25", "me");
  EXPECT_EQ(connection.only_session().error().code, "session_unclear");
  connection.take_up("a");
  connection.take_up("a");
  EXPECT_EQ(*connection.only_session(), "a");
  connection.take_up("b");
  const Error error = connection.only_session().error();
  EXPECT_EQ(error.code, "session_unclear");
  EXPECT_EQ(error.message, "This connection has several sessions (a, b); name yours in `session`.");
}

TEST(Connections, AreFoundByNamesThatCannotBeGuessed) {
  Connections connections;
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i)
    names.insert(connections.add(std::make_shared<Connection>("2025-11-25", "")));
  EXPECT_EQ(names.size(), 100U);
  for (const std::string& name : names) {
    EXPECT_EQ(name.size(), 32U);
    EXPECT_NE(connections.find(name), nullptr);
  }
  EXPECT_EQ(connections.find("other"), nullptr);
  EXPECT_TRUE(connections.remove(*names.begin()));
  EXPECT_FALSE(connections.remove(*names.begin()));
  EXPECT_EQ(connections.find(*names.begin()), nullptr);
}

TEST(Connections, TheOneUsedLongestAgoMakesRoom) {
  Connections connections;
  const std::string first = connections.add(std::make_shared<Connection>("", ""));
  const std::string second = connections.add(std::make_shared<Connection>("", ""));
  for (size_t i = 2; i < Connections::kMost; ++i)
    connections.add(std::make_shared<Connection>("", ""));
  connections.find(first);
  connections.add(std::make_shared<Connection>("", ""));
  EXPECT_NE(connections.find(first), nullptr);
  EXPECT_EQ(connections.find(second), nullptr);
}

}  // namespace
}  // namespace bitloop::api::mcp

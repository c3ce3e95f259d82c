// docs/lua.md carries the operations as the binding table has them.
#include "lua/tensor/manual.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace bitloop::lua {
namespace {

constexpr const char* kMarker =
    "<!-- from here on written by tests/lua/manual_test.cpp: do not edit -->\n\n";

TEST(ManualTest, TheOperationsAreCurrent) {
  const std::string path = std::string(BITLOOP_SOURCE_DIR) + "/docs/lua.md";
  std::ifstream in(path);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const size_t marker = text.find(kMarker);
  ASSERT_NE(marker, std::string::npos) << path << " has lost its marker: " << kMarker;
  const size_t start = marker + std::string(kMarker).size();
  if (std::getenv("BITLOOP_UPDATE_DOCS")) {
    std::ofstream(path) << text.substr(0, start) << operations_manual();
    GTEST_SKIP() << "rewrote " << path;
  }
  EXPECT_TRUE(text.substr(start) == operations_manual())
      << "docs/lua.md is stale: run this test with BITLOOP_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace bitloop::lua

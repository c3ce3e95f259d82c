#include "sandbox/descriptors.h"

#include <gtest/gtest.h>

namespace bitloop::sandbox {
namespace {

// The table of copies has a fixed size: numbers beyond it are refused before anything is touched.
TEST(Descriptors, NumbersThatHaveNoPlaceAreRefused) {
  EXPECT_FALSE(map_descriptors({{0, 64}}, false));
  EXPECT_FALSE(map_descriptors({{0, 3}, {0, 1000}}, false));
  EXPECT_FALSE(map_descriptors({{0, -1}}, false));
}

}  // namespace
}  // namespace bitloop::sandbox

#include "harness/baselines/labels.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bitloop::baselines {
namespace {

constexpr Box kBounds = {0, 0, 1000, 700};

Box marker(double x, double y) { return {x - 5, y - 5, x + 5, y + 5}; }

TEST(Labels, ALonelyPointHasItsNameToTheRight) {
  const auto placed = place_labels({{100, 100, 60, 14}}, {marker(100, 100)}, kBounds);
  ASSERT_EQ(placed.size(), 1u);
  EXPECT_EQ(placed[0].box.left, 107);
  EXPECT_EQ(placed[0].box.bottom, 93);
  EXPECT_FALSE(placed[0].has_line);
}

TEST(Labels, AtTheRightEdgeItGoesToTheLeft) {
  const auto placed = place_labels({{980, 100, 60, 14}}, {marker(980, 100)}, kBounds);
  EXPECT_EQ(placed[0].box.right, 973);
}

// 30 points within 60 x 60 pixels: each name is free of all points and all other names.
TEST(Labels, InACrowdNoNameCoversAnother) {
  std::vector<LabelRequest> requests;
  std::vector<Box> obstacles;
  for (int i = 0; i < 30; ++i) {
    const double x = 400 + 12.0 * (i % 5);
    const double y = 300 + 12.0 * (i / 5);
    requests.push_back({x, y, 50.0 + 3 * i, 14});
    obstacles.push_back(marker(x, y));
  }
  const auto placed = place_labels(requests, obstacles, kBounds);
  for (size_t i = 0; i < placed.size(); ++i) {
    EXPECT_TRUE(kBounds.contains(placed[i].box)) << i;
    for (const Box& obstacle : obstacles) EXPECT_FALSE(placed[i].box.overlaps(obstacle)) << i;
    for (size_t j = 0; j < i; ++j) EXPECT_FALSE(placed[i].box.overlaps(placed[j].box)) << i << j;
    const double away =
        std::hypot(placed[i].line_x - requests[i].x, placed[i].line_y - requests[i].y);
    EXPECT_EQ(placed[i].has_line, away >= 12) << i;
  }
}

TEST(Labels, WithoutRoomANameIsStillBesideItsPoint) {
  const Box tiny = {0, 0, 20, 20};
  const auto placed = place_labels({{10, 10, 500, 14}, {10, 10, 500, 14}}, {}, tiny);
  EXPECT_EQ(placed[0].box.left, 17);
  EXPECT_EQ(placed[1].box.left, 17);
}

}  // namespace
}  // namespace bitloop::baselines

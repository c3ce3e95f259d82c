// Where the names of a plot's points go, so that all can be read: beside the point where there is
// room, else further off with a line to it. Pure geometry, in pixels, y upwards.
#pragma once

#include <vector>

namespace bitloop::baselines {

struct Box {
  double left = 0, bottom = 0, right = 0, top = 0;
  bool overlaps(const Box& other) const;
  bool contains(const Box& other) const;
};

struct LabelRequest {
  double x = 0, y = 0;           // the point
  double width = 0, height = 0;  // of the text
};

struct PlacedLabel {
  Box box;
  bool has_line = false;  // from the point to (line_x, line_y), the box's nearest place
  double line_x = 0, line_y = 0;
};

// In the order of the requests: earlier ones lie nearer. No label covers an obstacle (the points,
// their error bars) or another label, nor, where there is room, another's line; without room within
// `bounds` a label takes the place beside its point.
std::vector<PlacedLabel> place_labels(const std::vector<LabelRequest>& requests,
                                      const std::vector<Box>& obstacles, const Box& bounds);

}  // namespace bitloop::baselines

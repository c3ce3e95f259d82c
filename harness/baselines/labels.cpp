#include "harness/baselines/labels.h"

#include <algorithm>
#include <cmath>

namespace bitloop::baselines {
namespace {

constexpr double kGap = 7;         // between a point and the name beside it
constexpr double kStep = 6;        // between the places that are tried
constexpr double kFarthest = 260;  // of a name from its point
constexpr double kLineFrom = 12;   // a name at this distance or more gets a line

struct Line {
  double x0, y0, x1, y1;
};

// Whether a line enters a box (Liang and Barsky 1984: the part of the line between the box's
// sides).
bool crosses(const Line& line, const Box& box) {
  const double dx = line.x1 - line.x0;
  const double dy = line.y1 - line.y0;
  const double p[] = {-dx, dx, -dy, dy};
  const double q[] = {line.x0 - box.left, box.right - line.x0, line.y0 - box.bottom,
                      box.top - line.y0};
  double from = 0;
  double to = 1;
  for (int side = 0; side < 4; ++side) {
    if (p[side] == 0) {
      if (q[side] < 0) return false;
      continue;
    }
    const double at = q[side] / p[side];
    if (p[side] < 0)
      from = std::max(from, at);
    else
      to = std::min(to, at);
  }
  return from < to;
}

class Placer {
 public:
  Placer(const std::vector<Box>& obstacles, const Box& bounds)
      : obstacles_(obstacles), bounds_(bounds) {}

  PlacedLabel place(const LabelRequest& request) {
    const std::vector<PlacedLabel> places = candidates(request);
    for (const bool strict : {true, false})  // in a crowd lines may cross names
      for (const PlacedLabel& candidate : places) {
        if (!is_free(candidate) || (strict && !is_clear(request, candidate))) continue;
        keep(request, candidate);
        return candidate;
      }
    const PlacedLabel beside = at(request, request.x + kGap, request.y - request.height / 2);
    keep(request, beside);
    return beside;
  }

 private:
  static PlacedLabel at(const LabelRequest& request, double left, double bottom) {
    PlacedLabel label;
    label.box = {left, bottom, left + request.width, bottom + request.height};
    label.line_x = std::clamp(request.x, label.box.left, label.box.right);
    label.line_y = std::clamp(request.y, label.box.bottom, label.box.top);
    label.has_line = distance(request, label) >= kLineFrom;
    return label;
  }
  static double distance(const LabelRequest& request, const PlacedLabel& label) {
    return std::hypot(label.line_x - request.x, label.line_y - request.y);
  }

  // All places to try, nearest first; of equals the one to the right.
  static std::vector<PlacedLabel> candidates(const LabelRequest& request) {
    std::vector<PlacedLabel> list;
    for (double dx = kGap; dx <= kFarthest; dx += kStep)
      for (double dy = 0; dy <= kFarthest; dy += kStep)
        for (const double side : {1.0, -1.0})
          for (const double up : {1.0, -1.0}) {
            if (dy == 0 && up < 0) continue;
            const double left = side > 0 ? request.x + dx : request.x - dx - request.width;
            list.push_back(at(request, left, request.y + up * dy - request.height / 2));
          }
    std::ranges::stable_sort(
        list, {}, [&](const PlacedLabel& label) { return std::round(distance(request, label)); });
    return list;
  }

  // Covers nothing.
  bool is_free(const PlacedLabel& label) const {
    const auto covers = [&](const Box& box) { return label.box.overlaps(box); };
    return bounds_.contains(label.box) && std::ranges::none_of(obstacles_, covers) &&
           std::ranges::none_of(boxes_, covers);
  }

  // Crosses no line, and cannot be taken for another point's name.
  bool is_clear(const LabelRequest& request, const PlacedLabel& label) const {
    if (std::ranges::any_of(lines_, [&](const Line& line) { return crosses(line, label.box); }))
      return false;
    if (!label.has_line) return true;
    // Close to another point it would pass for that one's name.
    Box around = label.box;
    around.left -= kGap + 1, around.right += kGap + 1, around.bottom -= 2, around.top += 2;
    if (std::ranges::any_of(obstacles_, [&](const Box& box) { return around.overlaps(box); }))
      return false;
    const Line line{request.x, request.y, label.line_x, label.line_y};
    return std::ranges::none_of(boxes_, [&](const Box& box) { return crosses(line, box); });
  }

  void keep(const LabelRequest& request, const PlacedLabel& label) {
    boxes_.push_back(label.box);
    if (label.has_line) lines_.push_back({request.x, request.y, label.line_x, label.line_y});
  }

  const std::vector<Box>& obstacles_;
  const Box& bounds_;
  std::vector<Box> boxes_;
  std::vector<Line> lines_;
};

}  // namespace

bool Box::overlaps(const Box& other) const {
  return left < other.right && other.left < right && bottom < other.top && other.bottom < top;
}

bool Box::contains(const Box& other) const {
  return left <= other.left && bottom <= other.bottom && right >= other.right && top >= other.top;
}

std::vector<PlacedLabel> place_labels(const std::vector<LabelRequest>& requests,
                                      const std::vector<Box>& obstacles, const Box& bounds) {
  Placer placer(obstacles, bounds);
  std::vector<PlacedLabel> placed;
  for (const LabelRequest& request : requests) placed.push_back(placer.place(request));
  return placed;
}

}  // namespace bitloop::baselines

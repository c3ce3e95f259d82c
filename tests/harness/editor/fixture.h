// A candidate as the tests of the editor use it.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "harness/editor/document.h"

namespace bitloop::editor {

//  1 -- top
//  2 -- BEGIN EDITABLE quantizer
//  3 a   4 b   5 c
//  6 -- END EDITABLE
//  7 middle
//  8 -- BEGIN EDITABLE config
//  9 x
// 10 -- END EDITABLE
// 11 return Q
inline const std::string kText =
    "-- top\n-- BEGIN EDITABLE quantizer\na\nb\nc\n-- END EDITABLE\nmiddle\n"
    "-- BEGIN EDITABLE config\nx\n-- END EDITABLE\nreturn Q\n";

inline Document parse(const std::string& text = kText) {
  auto document = Document::parse(text);
  if (!document) throw std::runtime_error(document.error().message);
  return *document;
}

// The lines from..to as a document of the design's size: 76 lines, regions 14..26 and 32..38.
inline Document design_document() {
  std::string text;
  for (int line = 1; line <= 76; ++line) {
    if (line == 13)
      text += "-- BEGIN EDITABLE quantizer\n";
    else if (line == 14)
      text += "local Q = {\n";
    else if (line == 31)
      text += "-- BEGIN EDITABLE config\n";
    else if (line == 27 || line == 39)
      text += "-- END EDITABLE\n";
    else
      text += "line " + std::to_string(line) + "\n";
  }
  return parse(text);
}

}  // namespace bitloop::editor

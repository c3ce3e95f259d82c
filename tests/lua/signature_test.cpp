#include "lua/tensor/signature.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <string>

#include "lua/tensor/operation.h"

namespace bitloop::lua {
namespace {

TEST(SignatureTest, IsTakenApart) {
  const Signature signature = parse_signature(
      "f(x, other: Operand, dim: Dims=nil, keepdim=false) -> values, count: integer");
  EXPECT_EQ(signature.name, "f");
  EXPECT_EQ(signature.text, "f(x, other, dim=nil, keepdim=false)");
  ASSERT_EQ(signature.parameters.size(), 4u);
  EXPECT_EQ(signature.parameters[0].type, "Tensor");
  EXPECT_FALSE(signature.parameters[1].optional);
  EXPECT_EQ(signature.parameters[2].type, "Dims");
  EXPECT_EQ(signature.parameters[2].default_text, "nil");
  EXPECT_EQ(signature.parameters[3].type, "boolean");
  ASSERT_EQ(signature.results.size(), 2u);
  EXPECT_EQ(signature.results[0].name, "values");
  EXPECT_EQ(signature.results[0].type, "Tensor");
  EXPECT_EQ(signature.results[1].type, "integer");
}

TEST(SignatureTest, VariadicAndEmptyOnes) {
  const Signature view = parse_signature("view(x, size...)");
  EXPECT_TRUE(view.parameters[1].variadic);
  EXPECT_EQ(view.text, "view(x, size...)");
  ASSERT_EQ(view.results.size(), 1u);
  EXPECT_EQ(view.results[0].type, "Tensor");
  EXPECT_TRUE(parse_signature("f()").parameters.empty());
}

TEST(SignatureTest, MistakesInTheTableAreSeen) {
  EXPECT_THROW(parse_signature("f(x: Tensr)"), std::logic_error);
  EXPECT_THROW(parse_signature("f(x) -> y: Tensr"), std::logic_error);
  EXPECT_THROW(parse_signature("f"), std::logic_error);
}

// A number as default needs a type: without one the parameter would be called a Tensor.
TEST(SignatureTest, DefaultsFitTheirTypes) {
  std::set<std::string> names;
  for (const Group& group : all_groups()) {
    for (const Operation& operation : group.operations) {
      const BoundOperation bound = bind(operation);
      EXPECT_TRUE(names.insert(std::string(bound.name)).second) << bound.name << " is there twice";
      EXPECT_FALSE(operation.doc.empty()) << bound.name;
      for (const Parameter& parameter : bound.parameters) {
        const std::string_view text = parameter.default_text;
        if (text.empty() || text == "nil") continue;
        const bool quoted = text.starts_with('"');
        const bool flag = text == "true" || text == "false";
        EXPECT_EQ(parameter.type == "string", quoted) << operation.signature;
        EXPECT_EQ(parameter.type == "boolean", flag) << operation.signature;
        if (!quoted && !flag) {
          EXPECT_TRUE(parameter.type == "integer" || parameter.type == "number")
              << operation.signature;
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitloop::lua

#include "harness/api/dashboard.h"

#include <gtest/gtest.h>

#include "harness/api/dispatcher.h"
#include "harness/base/fd.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::api {
namespace {

class DashboardTest : public ::testing::Test {
 protected:
  Response get(const std::string& path) {
    std::vector<Route> routes;
    add_dashboard_routes(routes, folder_ / "dashboard");
    Dispatcher dispatcher(std::move(routes));
    return dispatcher.dispatch({.method = "GET", .path = path});
  }
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(folder_ / "dashboard");
    ASSERT_TRUE(write_file_atomic(folder_ / "dashboard" / name, text));
  }
  test_support::ScratchFolder folder_;
};

TEST_F(DashboardTest, ServesItsFilesUnderAPolicy) {
  write("index.html", "<h1>page</h1>");
  write("main.js", "1;");
  const Response page = get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.body, "<h1>page</h1>");
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  EXPECT_EQ(page.headers[0].first, "Content-Security-Policy");
  EXPECT_TRUE(page.headers[0].second.starts_with("default-src 'none'; script-src 'self'"));
  EXPECT_EQ(get("/static/main.js").content_type, "text/javascript; charset=utf-8");
}

TEST_F(DashboardTest, NothingElseOfTheFolderOrBesideIt) {
  write("index.html", "page");
  write("notes.txt", "not for the web");
  write(".secret", "nor this");
  ASSERT_TRUE(write_file_atomic(folder_ / "beside.js", "1;"));
  for (const char* path : {"/static/notes.txt", "/static/.secret", "/static/../beside.js",
                           "/static/..", "/static/", "/static/gone.js"})
    EXPECT_EQ(get(path).status, 404) << path;
}

TEST_F(DashboardTest, WhatIsMissingIsSaid) {
  EXPECT_NE(get("/").body.find("build again"), std::string::npos);
  write("index.html", "page");
  const Response chart = get("/static/chart.min.js");
  EXPECT_EQ(chart.status, 404);
  EXPECT_NE(chart.body.find("libjs-chart.js"), std::string::npos);
}

}  // namespace
}  // namespace bitloop::api

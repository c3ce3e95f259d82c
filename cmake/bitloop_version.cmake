# generated/bitloop_version.h: the project's version and the git commit it was built from, refreshed at every build
# (the header changes, and its one user is compiled again, only when the commit does).
set(_version_header "${PROJECT_BINARY_DIR}/generated/bitloop_version.h")
add_custom_target(bitloop_version_header
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${_version_header} -DVERSION=${PROJECT_VERSION} -DSOURCE_DIR=${PROJECT_SOURCE_DIR}
          -P ${PROJECT_SOURCE_DIR}/cmake/write_version.cmake
  BYPRODUCTS ${_version_header} COMMENT "" VERBATIM)

# What `make install` copies below a prefix, and what `make deb` packs.
include(GNUInstallDirs)
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME program)
install(TARGETS tessera)
install(FILES net/clients/cpp/producer.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tessera)
install(FILES config/tessera.toml DESTINATION ${CMAKE_INSTALL_DATADIR}/tessera)
install(DIRECTORY net/clients/python/tessera_client DESTINATION ${CMAKE_INSTALL_DATADIR}/tessera/python
        PATTERN __pycache__ EXCLUDE)

# The manual page and the shells' completion are what the program says of itself.
set(extras "${CMAKE_BINARY_DIR}/extras")
find_program(GZIP gzip REQUIRED)
function(tessera_says file)
  install(CODE "execute_process(COMMAND \"$<TARGET_FILE:tessera>\" ${ARGN} OUTPUT_FILE \"${extras}/${file}\" COMMAND_ERROR_IS_FATAL ANY)")
endfunction()
file(MAKE_DIRECTORY "${extras}")
tessera_says(tessera completion bash)
tessera_says(_tessera completion zsh)
tessera_says(tessera.fish completion fish)
install(FILES "${extras}/tessera" DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES "${extras}/tessera.fish" DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
# zsh looks here below /usr/local; what packages bring it looks for elsewhere.
install(FILES "${extras}/_tessera" DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT local)
install(CODE "execute_process(COMMAND \"$<TARGET_FILE:tessera>\" man COMMAND \"${GZIP}\" -9n OUTPUT_FILE \"${extras}/tessera.1.gz\"
                              COMMAND_ERROR_IS_FATAL ANY)")
install(FILES "${extras}/tessera.1.gz" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)

# `make deb`: Debian's package has a service of systemd besides, which starts when somebody says so.
set(CPACK_PACKAGE_CONTACT "The Tessera developers <tessera@users.noreply.github.com>" CACHE STRING "Who answers for the package")
string(TIMESTAMP built "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE "${extras}/changelog" "tessera (${PROJECT_VERSION}) unstable; urgency=medium\n\n"
     "  * What changed is in CHANGELOG.md beside this file.\n\n -- ${CPACK_PACKAGE_CONTACT}  ${built}\n")
file(WRITE "${extras}/conffiles" "/etc/default/tessera\n/etc/tessera/tessera.toml\n")

function(tessera_packs)
  install(${ARGN} COMPONENT debian EXCLUDE_FROM_ALL)
endfunction()
foreach(file "${extras}/changelog" "${CMAKE_SOURCE_DIR}/CHANGELOG.md")
  get_filename_component(name "${file}" NAME)
  tessera_packs(CODE "execute_process(COMMAND \"${GZIP}\" -9nc \"${file}\" OUTPUT_FILE \"${extras}/${name}.gz\" COMMAND_ERROR_IS_FATAL ANY)")
  tessera_packs(FILES "${extras}/${name}.gz" DESTINATION share/doc/tessera)
endforeach()
tessera_packs(FILES "${extras}/_tessera" DESTINATION share/zsh/vendor-completions)
tessera_packs(FILES docker/debian/copyright README.md DESTINATION share/doc/tessera)
tessera_packs(FILES docker/systemd/tessera.service DESTINATION lib/systemd/system)
tessera_packs(FILES config/tessera.toml DESTINATION /etc/tessera)
tessera_packs(FILES docker/systemd/default DESTINATION /etc/default RENAME tessera PERMISSIONS OWNER_READ OWNER_WRITE)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_BINARY_DIR}")
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};tessera;program;/" "${CMAKE_BINARY_DIR};tessera;debian;/")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "rabbitmq-server, prometheus")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "live meshes from the keyframes of a SLAM system")
set(CPACK_PACKAGE_DESCRIPTION "Takes keyframes (coloured points and a pose) from shared memory, RabbitMQ,
HTTP or folders, fuses them into a map that stays exact when they are moved or
taken out, and streams its mesh to browsers, of which each gets only what
changed.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${extras}/conffiles" "${CMAKE_SOURCE_DIR}/docker/debian/postinst"
    "${CMAKE_SOURCE_DIR}/docker/debian/prerm" "${CMAKE_SOURCE_DIR}/docker/debian/postrm")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)

#include "proxy/run/commands.h"

int main(int argc, char** argv) { return nearhop::run::command_line(argc, argv); }

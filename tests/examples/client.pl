#!/usr/bin/env perl
# SPDX-License-Identifier: MIT
# A client in Perl: `./client.pl ./rpc.sock METHOD [JSON]`.
use strict;
use warnings;
use IO::Socket::UNIX;
use JSON::PP;

my ($path, $method, $params) = @ARGV;
my $json = JSON::PP->new->allow_nonref->utf8;
my $server = IO::Socket::UNIX->new(Peer => $path) or die "cannot connect to $path: $!\n";
print $server $json->encode({in => $method, params => $json->decode($params // "null")}), "\n";
my $reply = $json->decode(scalar <$server>);
die "$method failed: $reply->{result}{message}\n" if $reply->{out} eq "error";
print $json->encode($reply->{result}), "\n";

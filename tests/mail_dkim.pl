# Prints one line for each DKIM signature of the message on standard input: what Mail::DKIM makes of it ("pass", …).
# The arguments are the TXT records to find, NAME VALUE NAME VALUE …

use strict;
use warnings;
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;
use Net::DNS;

package Records {
    sub new { my ( $class, %records ) = @_; return bless {%records}, $class }

    sub send {
        my ( $self, $name, $type ) = @_;
        my $answer = Net::DNS::Packet->new( $name, $type );
        my $value  = $self->{$name};
        if ( defined $value ) {
            $answer->push( answer => Net::DNS::RR->new( name => $name, type => 'TXT', txtdata => $value ) );
        }
        return $answer;
    }
}

binmode STDIN;
Mail::DKIM::DNS::resolver( Records->new(@ARGV) );
my $verifier = Mail::DKIM::Verifier->new;
$verifier->load( \*STDIN );
print $_->result, "\n" for $verifier->signatures;

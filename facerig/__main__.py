"""python -m facerig"""

from facerig.cli import main

main()

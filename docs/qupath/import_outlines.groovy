/**
 * Opens what wsi-nucssl wrote for the image in view: the .geojson of its name.
 *
 * One image: Automate > Script editor, open this file, Run. All images of a project: Run > Run for project.
 * An image that has objects already is left as it is. Written for QuPath 0.4 and later.
 */
import java.nio.file.Paths

// The folder of the .geojson, such as "C:/results"; null is the folder of the image.
def FOLDER = null

def uri = getCurrentServer().getURIs().find { it.scheme == "file" }
if (uri == null)
    throw new IllegalStateException("The image is no file on this computer")
def image = Paths.get(new URI(uri.scheme, uri.host, uri.path, null)).toFile()
def folder = FOLDER == null ? image.parentFile : new File(FOLDER)
def stem = image.name.replaceFirst(/\.[^.]+$/, "")
def outlines = new File(folder, stem + ".geojson")

if (!outlines.isFile() && new File(folder, outlines.name + ".gz").isFile())
    throw new IllegalStateException("Unpack ${outlines.name}.gz first: QuPath reads .geojson")
if (!outlines.isFile())
    throw new FileNotFoundException("${outlines} is not there: FOLDER at the top of this script says where to look")
if (!getAllObjects(false).isEmpty()) {
    println "${image.name}: has ${getAllObjects(false).size()} objects already and is left as it is"
    return
}
importObjectsFromFile(outlines.path)
println "${image.name}: ${getAllObjects(false).size()} objects from ${outlines}"
